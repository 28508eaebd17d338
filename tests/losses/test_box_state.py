"""Wise-IoU's running mean, and Unified-IoU's ratio: when they change, and that they are saved."""

import copy
import math

import pytest
import torch
from cases import draw_boxes, never_select, spoil

import mmdet_losses as ml
import mmdet_losses.functional as F

N = 8
MOMENTUM = 0.25


def batch(seed: int = 0, n: int = N):
    pred, target = draw_boxes(torch.Generator().manual_seed(seed), n)
    return pred.float().requires_grad_(), target.float()


def cost(pred, target):
    return 1 - F.box_pair(pred, target).iou


def wise(version: int = 3, **options):
    return ml.WIoULoss(version, momentum=MOMENTUM, **options)


def mean_after(*means: float) -> float:
    """The running mean after iterations with these means."""
    value = 1.0
    for mean in means:
        value = (1 - MOMENTUM) * value + MOMENTUM * mean
    return value


HOLDERS = {
    "WIoULoss": lambda: wise(),
    "WIoULoss v2": lambda: wise(2),
    "slot of GIoULoss": lambda: ml.GIoULoss(focus=dict(type="WiseFocus", momentum=MOMENTUM)),
    "slot of PowerfulIoULoss": lambda: ml.PowerfulIoULoss(focus=dict(type="WiseFocus", momentum=MOMENTUM)),
}


@pytest.fixture(params=HOLDERS)
def loss(request):
    return HOLDERS[request.param]()


@pytest.mark.parametrize("path", ["select", "replace"])
def test_mean_moves_once_per_iteration(loss, path, monkeypatch):
    """Five levels of one iteration are one batch, however many rows each has."""
    if path == "replace":
        never_select(monkeypatch)
    levels = [batch(seed, n) for seed, n in enumerate((N, 3, 0, 1, 20))]
    for pred, target in levels:
        loss(pred, target)
        assert loss.focus.iou_mean == 1
    ml.commit_statistics(loss)
    mean = torch.cat([cost(*level) for level in levels]).mean().item()
    assert loss.focus.iou_mean.item() == pytest.approx(mean_after(mean), rel=1e-6)
    assert mean < 0.99
    ml.commit_statistics(loss)
    assert loss.focus.iou_mean.item() == pytest.approx(mean_after(mean), rel=1e-6)

    loss(*levels[0])
    ml.commit_statistics(loss)
    second = cost(*levels[0]).mean().item()
    assert loss.focus.iou_mean.item() == pytest.approx(mean_after(mean, second), rel=1e-6)


def test_loss_uses_the_mean_of_the_last_commit():
    pred, target = batch()
    loss = wise()
    first = loss(pred, target)
    assert torch.equal(loss(pred, target), first)
    ml.commit_statistics(loss)
    later = loss(pred, target)
    assert later != first
    expected = F.wise_iou_loss(pred, target, mean=loss.focus.iou_mean).mean()
    torch.testing.assert_close(later, expected)


@pytest.mark.parametrize("path", ["select", "replace"])
def test_rows_of_weight_zero_do_not_count(loss, path, monkeypatch):
    if path == "replace":
        never_select(monkeypatch)
    pred, target = batch()
    deleted = torch.tensor([False, True, True, False, True, True, True, True])
    junk, junk_target = spoil(pred.detach(), target, deleted)
    weight = torch.where(deleted, 0.0, torch.tensor([2.0, 0, 0, 0.5, 0, 0, 0, 0]))
    mean = cost(pred, target)[~deleted].mean().item()
    for form in (weight, weight[:, None], weight[:, None].expand(N, 4)):
        holder = copy.deepcopy(loss)
        holder(junk.clone().requires_grad_(), junk_target, form, avg_factor=3.0)
        ml.commit_statistics(holder)
        assert holder.focus.iou_mean.item() == pytest.approx(mean_after(mean), rel=1e-6)


def test_iteration_without_rows_changes_nothing(loss):
    pred, target = batch()
    loss(pred, target, torch.zeros(N))
    loss(pred[:0], target[:0])
    ml.commit_statistics(loss)
    assert loss.focus.iou_mean == 1


def test_calls_that_are_not_finite_do_not_poison_the_mean(loss):
    """Mixed precision skips the step of an iteration with an overflow; a mean of NaN would stay."""
    pred, target = batch()
    mean = cost(pred, target).mean().item()
    loss(pred, target)
    for junk in (torch.nan, torch.inf):
        broken = pred.detach().clone()
        broken[1] = junk
        loss(broken.requires_grad_(), target)
    ml.commit_statistics(loss)
    assert loss.focus.iou_mean.item() == pytest.approx(mean_after(mean), rel=1e-6)


def test_scoring_calls_leave_the_mean_alone(loss):
    pred, target = batch()
    with torch.no_grad():
        loss(pred, target)
    loss(pred, target, reduction_override="none")
    loss.eval()
    loss(pred, target)
    loss.train()
    ml.commit_statistics(loss)
    assert loss.focus.iou_mean == 1


def test_version_1_keeps_no_statistics():
    loss = wise(1)
    loss(*batch())
    ml.commit_statistics(loss)
    assert not loss.state_dict()
    assert loss.focus.uncommitted == 0


def test_statistics_of_boxes_of_several_axes():
    pred, target = batch()
    flat, shaped = wise(), wise()
    weight = torch.rand(N)
    flat(pred, target, weight)
    shaped(pred.reshape(2, 4, 4), target.reshape(2, 4, 4), weight.reshape(2, 4))
    for loss in (flat, shaped):
        ml.commit_statistics(loss)
    assert torch.equal(flat.focus.iou_mean, shaped.focus.iou_mean)


def test_unified_iou_observes_the_boxes_that_it_sees():
    pred, target = batch()
    loss = ml.UnifiedIoULoss(ratio=1.5, focus=dict(type="WiseFocus", momentum=MOMENTUM))
    loss(pred, target)
    ml.commit_statistics(loss)
    mean = (1 - F.box_pair(pred, target).scaled(1.5).iou).mean().item()
    assert loss.focus.iou_mean.item() == pytest.approx(mean_after(mean), rel=1e-6)


def test_two_losses_have_two_means():
    model = torch.nn.ModuleList([wise(), wise()])
    model[0](*batch())
    ml.commit_statistics(model)
    assert model[0].focus.iou_mean < 1
    assert model[1].focus.iou_mean == 1


def test_mean_is_saved_and_resumed(tmp_path):
    loss = wise()
    loss(*batch())
    ml.commit_statistics(loss)
    torch.save(loss.state_dict(), tmp_path / "loss.pth")
    fresh = wise()
    fresh.load_state_dict(torch.load(tmp_path / "loss.pth"), strict=True)
    assert set(loss.state_dict()) == {"focus.iou_mean"}
    pred, target = batch(1)
    assert torch.equal(fresh(pred, target), loss(pred, target))
    for holder in (loss, fresh):
        ml.commit_statistics(holder)
    assert torch.equal(fresh.focus.iou_mean, loss.focus.iou_mean)


@pytest.mark.parametrize("version", [2, 3])
def test_mean_of_zero_is_finite(version):
    """Nothing but perfect matches, taken over at once."""
    _, target = batch()
    loss = ml.WIoULoss(version, momentum=1.0)
    loss(target.clone().requires_grad_(), target)
    ml.commit_statistics(loss)
    assert loss.focus.iou_mean == 0
    pred = torch.cat([target, batch()[0].detach()]).requires_grad_()
    value = loss(pred, target.repeat(2, 1), reduction_override="none")
    value.sum().backward()
    assert value.isfinite().all()
    assert pred.grad.isfinite().all()


@pytest.mark.compiler
def test_under_the_compiler():
    torch._dynamo.reset()
    eager, compiled = wise(), wise()
    function = torch.compile(compiled, fullgraph=True, dynamic=True, backend="eager")
    weight = torch.tensor([1.0, 0, 2, 0, 1, 1, 0, 3])
    for step in range(3):
        pred, target = batch(step)
        torch.testing.assert_close(function(pred, target, weight), eager(pred, target, weight))
        for holder in (eager, compiled):
            ml.commit_statistics(holder)
        torch.testing.assert_close(compiled.focus.iou_mean, eager.focus.iou_mean)
    assert eager.focus.iou_mean < 1
    torch._dynamo.reset()


# ------------------------------------------------------------------------------------------------------ annealing


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [("linear", 1.25), ("cosine", 1.25), ("fraction", 0.8)],
    ids=["linear", "cosine", "fraction"],
)
def test_ratio_falls_from_2_to_a_half(schedule, middle):
    pred, target = batch()
    loss = ml.UnifiedIoULoss(schedule=schedule)
    for progress, ratio in ((0.0, 2.0), (0.5, middle), (1.0, 0.5), (1.2, 0.5), (0.0, 2.0)):
        loss.set_progress(progress)
        assert loss.annealed_ratio.item() == pytest.approx(ratio)
        fixed = ml.UnifiedIoULoss(ratio=ratio)(pred, target)
        torch.testing.assert_close(loss(pred, target), fixed)


def test_schedules_are_the_published_ones_of_300_epochs():
    published = {
        "linear": lambda epoch: 2 - 0.005 * epoch,
        "cosine": lambda epoch: 0.75 * math.cos(math.pi * epoch / 300) + 1.25,
        "fraction": lambda epoch: 200 / (epoch + 100),
    }
    for schedule, ratio in published.items():
        loss = ml.UnifiedIoULoss(schedule=schedule)
        for epoch in range(0, 301, 30):
            loss.set_progress(epoch / 300)
            assert loss.annealed_ratio.item() == pytest.approx(ratio(epoch), rel=1e-6)


def test_fixed_ratio_stays():
    loss = ml.UnifiedIoULoss(ratio=1.5)
    loss.set_progress(1.0)
    assert loss.ratio == 1.5
    assert not loss.state_dict()


def test_ratio_is_saved():
    loss, fresh = ml.UnifiedIoULoss(), ml.UnifiedIoULoss()
    loss.set_progress(0.7)
    fresh.load_state_dict(loss.state_dict(), strict=True)
    assert torch.equal(fresh(*batch()), loss(*batch()))


# ------------------------------------------------------------------------------------------------ in a real training

STEPS = 4


def make_runner(work_dir, **options):
    pytest.importorskip("mmdet")
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from tool_runtime.checkpoints import allow_checkpoint_classes
    from torch.utils.data import DataLoader

    allow_checkpoint_classes()

    class Model(BaseModel):
        """Calls each loss once per level; a validation between iterations must not be noticed."""

        def __init__(self):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros(4))
            self.wise, self.unified = wise(), ml.UnifiedIoULoss()
            self.seen = []

        def forward(self, inputs, data_samples=None, mode="loss"):
            levels = [batch(10 * int(inputs[0]) + level) for level in range(3)]
            pairs = [(pred.detach() + self.shift, target) for pred, target in levels]
            self.seen.append((self.wise.focus.iou_mean.item(), self.unified.annealed_ratio.item()))
            losses = [self.wise(*pair) + self.unified(*pair) for pair in pairs]
            return dict(loss=sum(losses))

    loader = DataLoader([dict(inputs=torch.tensor(i)) for i in range(STEPS)], batch_size=1)
    return Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=STEPS, val_interval=10**6),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False)),
        default_scope="mmdet",
        log_level="ERROR",
        experiment_name=f"{work_dir.parent.name}-{work_dir.name}",
        **options,
    )


def means_of_training() -> list[float]:
    return [torch.cat([cost(*batch(10 * step + level)) for level in range(3)]).mean().item() for step in range(STEPS)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hooks", [None, [dict(type="LossStateHook")]], ids=["bare config", "hook in the config"])
def test_runner_commits_and_anneals(tmp_path, monkeypatch, hooks):
    """Once per iteration, whether the config names the hook or not."""
    commits = []
    commit = ml.WiseFocus.commit
    monkeypatch.setattr(ml.WiseFocus, "commit", lambda self, **sums: commits.append(self) or commit(self, **sums))
    runner = make_runner(tmp_path / "whole", custom_hooks=hooks)
    runner.train()
    assert sum(one is runner.model.wise.focus for one in commits) == STEPS
    means = means_of_training()
    expected = [mean_after(*means[:step]) for step in range(STEPS)]
    assert [mean for mean, _ in runner.model.seen] == pytest.approx(expected, rel=1e-5)
    assert [ratio for _, ratio in runner.model.seen] == pytest.approx([2 - 1.5 * i / STEPS for i in range(STEPS)])
    assert runner.model.wise.focus.iou_mean.item() == pytest.approx(mean_after(*means), rel=1e-5)

    # the checkpoint of an iteration holds the mean that the next one uses
    halfway = tmp_path / "whole" / "iter_2.pth"
    resumed = make_runner(tmp_path / "resumed", resume=True, load_from=str(halfway), custom_hooks=hooks)
    resumed.train()
    assert [mean for mean, _ in resumed.model.seen] == pytest.approx(expected[2:], rel=1e-5)
    assert [ratio for _, ratio in resumed.model.seen] == pytest.approx([1.25, 0.875])
    assert resumed.model.wise.focus.iou_mean.item() == pytest.approx(mean_after(*means), rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_averaged_model_of_a_runner_has_the_statistics_of_the_model(tmp_path):
    """MMEngine saves it as the model: a mean that lags behind would be what a fine-tuning starts from."""
    ema = dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.01, update_buffers=True)
    runner = make_runner(tmp_path / "ema", custom_hooks=[ema])
    runner.train()
    saved = torch.load(tmp_path / "ema" / f"iter_{STEPS}.pth", weights_only=False)
    mean = runner.model.wise.focus.iou_mean
    assert mean.item() == pytest.approx(mean_after(*means_of_training()), rel=1e-5)
    assert saved["state_dict"]["wise.focus.iou_mean"] == saved["ema_state_dict"]["module.wise.focus.iou_mean"] == mean
    assert saved["state_dict"]["unified.annealed_ratio"] == runner.model.unified.annealed_ratio == 0.875


@pytest.mark.filterwarnings("ignore")
def test_steps_commit_again_after_a_runner(tmp_path):
    """What is trained on in a loop of one's own."""
    model = make_runner(tmp_path / "first").train()
    before = model.wise.focus.iou_mean.item()
    pred, target = batch()
    model.wise(pred.detach() + model.shift, target).backward()
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    expected = (1 - MOMENTUM) * before + MOMENTUM * cost(pred, target).mean().item()
    assert model.wise.focus.iou_mean.item() == pytest.approx(expected, rel=1e-5)
