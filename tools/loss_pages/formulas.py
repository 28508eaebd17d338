r"""Formulas of the losses for MathJax, by the name of the class.

They stand here and not in the docstrings, which are read as plain text: in a terminal, by ``help()``, in an editor and
in docs/reference.md. The symbols are those of the docstrings: small letters for the prediction, capitals for the
target. An empty line begins a row; a loss without an entry has the formula of its docstring alone.
"""

from __future__ import annotations

BOXES = {
    "IoULoss": r"""
        -\ln \max(\mathrm{IoU}, \varepsilon) \quad \text{(log)},

        1 - \mathrm{IoU} \quad \text{(linear)},

        1 - \mathrm{IoU}^2 \quad \text{(square)}""",
    "GIoULoss": r"1 - \mathrm{IoU} + \frac{C - U}{C}",
    "DIoULoss": r"1 - \mathrm{IoU} + \frac{\rho^2}{c^2}",
    "CIoULoss": r"""
        1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \alpha v,

        v = \frac{4}{\pi^2} \left(\arctan \frac{W}{H} - \arctan \frac{w}{h}\right)^2,

        \alpha = \frac{v}{1 - \mathrm{IoU} + v}""",
    "EIoULoss": r"""
        1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \frac{(w - W)^2}{c_w^2} + \frac{(h - H)^2}{c_h^2}""",
    "SIoULoss": r"""
        1 - \mathrm{IoU} + \frac{\Delta + \Omega}{2},

        \gamma = 2 - \frac{2\,|d_x d_y|}{\sigma^2}, \qquad \sigma^2 = d_x^2 + d_y^2

        \Delta = 2 - e^{-\gamma (d_x / c_w)^2} - e^{-\gamma (d_y / c_h)^2}

        \Omega = \left(1 - e^{-|w - W| / \max(w, W)}\right)^4 + \left(1 - e^{-|h - H| / \max(h, H)}\right)^4""",
    "MPDIoULoss": r"1 - \mathrm{IoU} + \frac{d_1^2}{D^2} + \frac{d_2^2}{D^2}",
    "ShapeIoULoss": r"""
        1 - \mathrm{IoU} + \frac{hh\, d_x^2 + ww\, d_y^2}{c^2} + \frac{\Omega}{2},

        ww = \frac{2\, W^{\mathrm{scale}}}{W^{\mathrm{scale}} + H^{\mathrm{scale}}}, \qquad hh = 2 - ww

        \Omega = \left(1 - e^{-hh\, |w - W| / \max(w, W)}\right)^4
        + \left(1 - e^{-ww\, |h - H| / \max(h, H)}\right)^4""",
    "PowerfulIoULoss": r"""
        L_1 = 2 - \mathrm{IoU} - e^{-P^2}, \qquad L_2 = 3\, x\, e^{-x^2} L_1, \qquad x = \lambda e^{-P}

        P = \frac14 \left(\frac{|x_1 - X_1| + |x_2 - X_2|}{W} + \frac{|y_1 - Y_1| + |y_2 - Y_2|}{H}\right)""",
    "AlphaIoULoss": r"1 - \mathrm{IoU}^\alpha + \sum_k \mathrm{term}_k^{\,\alpha}",
    "InnerIoULoss": r"1 - \mathrm{IoU}_{\mathrm{inner}} + \sum_k \mathrm{term}_k",
    "FocalerIoULoss": r"""
        1 - \min\left(\max\left(\frac{\mathrm{IoU} - d}{u - d}, 0\right), 1\right) + \sum_k \mathrm{term}_k""",
    "WIoULoss": r"""
        L_1 = R\,(1 - \mathrm{IoU}), \qquad L_2 = b^\gamma L_1,

        L_3 = \frac{b}{\delta\, \alpha^{b - \delta}}\, L_1

        R = \exp\frac{\rho^2}{c^2}, \qquad b = \frac{1 - \mathrm{IoU}}{\mathrm{mean}(1 - \mathrm{IoU})}""",
    "FocalEIoULoss": r"""
        \mathrm{IoU}^\gamma \left(1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \frac{(w - W)^2}{c_w^2}
        + \frac{(h - H)^2}{c_h^2}\right)""",
    "UnifiedIoULoss": r"""
        L_{\mathrm{base}}(s\,b,\; s\,B),

        s(t) = 2 - 1.5\,t \;\;\text{(linear)}, \quad 1.25 + 0.75 \cos \pi t \;\;\text{(cosine)}, \quad
        \frac{2}{1 + 3t} \;\;\text{(fraction)}""",
    "ExtendedIoULoss": r"""
        \begin{cases} \dfrac{l^2}{2 s} & l < s \\ l - \dfrac{s}{2} & \text{else} \end{cases},

        l = 1 - \frac{I}{A + B - I}, \qquad s = \mathrm{smooth\_point}""",
    "BoundedIoULoss": r"""
        \begin{cases} \dfrac{l^2}{2 \beta} & l < \beta \\ l - \dfrac{\beta}{2} & \text{else} \end{cases},

        l_x = 1 - \max\left(\frac{W - 2 |d_x|}{W + 2 |d_x| + \varepsilon}, 0\right), \quad
        l_w = 1 - \min\left(\frac{W}{w + \varepsilon}, \frac{w}{W + \varepsilon}\right)""",
    "NWDLoss": r"""
        1 - \exp\left(-\frac{d}{\mathrm{constant}}\right),

        d = \sqrt{\rho^2 + \frac{(w - W)^2 + (h - H)^2}{4}}""",
    "GCDLoss": r"""
        1 - e^{-d},

        d^2 = \frac12 \left[\frac{d_x^2 + (w - W)^2 / 4}{w^2} + \frac{d_x^2 + (w - W)^2 / 4}{W^2}
        + \frac{d_y^2 + (h - H)^2 / 4}{h^2} + \frac{d_y^2 + (h - H)^2 / 4}{H^2}\right]""",
    "SDIoULoss": r"""
        k\,(1 - \mathrm{IoU} + \alpha v) + (2 - k) \frac{\rho^2}{c^2},

        k = 1 - \delta \left(1 - \min\left(\frac{W H}{\mathrm{area\_ref}}, 1\right)\right)""",
    "SumLoss": r"\sum_k w_k L_k",
    "InterpIoULoss": r"2 - \mathrm{IoU}(p, t) - \mathrm{IoU}\big((1 - \alpha)\, p + \alpha\, t,\; t\big)",
}
COORDINATES = {
    "L1Loss": r"|\mathrm{pred} - \mathrm{target}|",
    "MSELoss": r"(\mathrm{pred} - \mathrm{target})^2",
    "SmoothL1Loss": r"""
        \begin{cases} \dfrac{d^2}{2 \beta} & d < \beta \\ d - \dfrac{\beta}{2} & \text{else} \end{cases},

        d = |\mathrm{pred} - \mathrm{target}|""",
    "BalancedL1Loss": r"""
        \frac{\alpha}{b}\,(b d + 1) \ln(b d + 1) - \alpha d \quad \text{for } d < \beta,

        d = |\mathrm{pred} - \mathrm{target}|, \qquad b = \frac{e^{\gamma / \alpha} - 1}{\beta}""",
    "GHMR": r"""
        \frac{N}{n\,m} \left(\sqrt{d^2 + \mu^2} - \mu\right), \qquad d = \mathrm{pred} - \mathrm{target}""",
    "DistributionFocalLoss": r"""
        (l + 1 - y)\, \mathrm{CE}(\mathrm{pred}, l) + (y - l)\, \mathrm{CE}(\mathrm{pred}, l + 1),

        l = \lfloor y \rfloor""",
}
ROTATED = {
    "ProbIoULoss": r"""
        \sqrt{1 - e^{-B}} \quad \text{(l1)}, \qquad B \quad \text{(l2)}

        B = \frac14 D^\top (S + T)^{-1} D + \frac12 \ln \frac{\det(S + T)}{4 \sqrt{\det S \det T}}""",
    "KLDLoss": r"""
        1 - \frac{1}{\tau + f(\sqrt{K})},

        K = \frac{D^\top S^{-1} D}{2 \alpha^2} + \frac12 \operatorname{tr}(S^{-1} T)
        + \frac12 \ln \frac{\det S}{\det T} - 1""",
    "JDLoss": r"""
        1 - \frac{1}{\tau + f(\sqrt{J})}, \qquad J = \frac{K(\mathrm{pred}, \mathrm{target})
        + K(\mathrm{target}, \mathrm{pred})}{2}""",
    "GWDLoss": r"""
        1 - \frac{1}{\tau + f(d)},

        d^2 = |D|^2 + \alpha^2 \left(\operatorname{tr} S + \operatorname{tr} T
        - 2 \operatorname{tr} \big(S^{1/2}\, T\, S^{1/2}\big)^{1/2}\right)""",
    "GDLoss": r"""
        1 - \frac{1}{\tau + f(d)} \;\; (\tau \ge 1), \qquad f(d) \;\; (\tau < 1)""",
    "KFIoULoss": r"""
        1 - \mathrm{KFIoU}, \qquad -\ln \mathrm{KFIoU}, \qquad e^{1 - \mathrm{KFIoU}} - 1

        \mathrm{KFIoU} = \frac{V}{w h + W H - V}, \qquad V = 4 \sqrt{\frac{\det S \det T}{\det(S + T)}}""",
    "RotatedIoULoss": r"""
        -\ln \max(\mathrm{IoU}, \varepsilon) \quad \text{(log)},

        1 - \mathrm{IoU} \quad \text{(linear)},

        1 - \mathrm{IoU}^2 \quad \text{(square)}""",
}
CROSS_ENTROPY = r"""
        -\sum_k y_k \ln p_k \quad \text{(softmax)},

        -y \ln p - (1 - y) \ln(1 - p) \quad \text{(sigmoid)}"""
FOCAL = r"-\alpha_t\, (1 - p_t)^\gamma \ln p_t"
LABELS = {
    "CrossEntropyLoss": CROSS_ENTROPY,
    "CrossEntropyCustomLoss": CROSS_ENTROPY,
    "LabelSmoothLoss": r"""
        \mathrm{CE}(\mathrm{pred}, y'),

        y' = (1 - e)\, y + \frac{e}{c} \;\;\text{(original)}, \quad
        \frac{y + e / c}{1 + e} \;\;\text{(classy_vision)}, \quad
        (1 - 2 e)\, y + e \;\;\text{(multi_label)}""",
    "FocalLoss": FOCAL,
    "FocalCustomLoss": FOCAL,
    "Poly1FocalLoss": rf"{FOCAL} + \epsilon\, (1 - p_t)^{{\gamma + 1}}",
    "Poly1CrossEntropyLoss": r"-\ln p_t + \epsilon\, (1 - p_t)",
    "AsymmetricLoss": r"""
        -y\, (1 - p)^{\gamma_+} \ln p - (1 - y)\, q^{\gamma_-} \ln(1 - q), \qquad q = \max(p - \mathrm{clip}, 0)""",
    "EqualizationLoss": r"""
        w_j\, \mathrm{BCE}(p_j, y_j),

        w_j = \begin{cases} 0 & \text{foreground row, rare class } j, \; y_j = 0 \\ 1 & \text{else} \end{cases}""",
    "GaussianFocalLoss": r"""
        \begin{cases} -(1 - p)^\alpha \ln p & y = 1 \\
        -(1 - y)^\gamma\, p^\alpha \ln(1 - p) & \text{else} \end{cases}""",
    "SeesawLoss": r"""
        -\ln \frac{e^{z_i}}{\sum_j M_{ij}\, C_{ij}\, e^{z_j}},

        M_{ij} = \min\left(1, \frac{N_j}{N_i}\right)^p,

        C_{ij} = \max\left(1, \frac{s_j}{s_i}\right)^q""",
    "EQLV2Loss": r"""
        \sum_j \big[\,y_j\, (1 + \alpha (1 - f_j)) + (1 - y_j)\, f_j\,\big]\, \mathrm{BCE}(p_j, y_j),

        f_j = \frac{1}{1 + e^{-\gamma (r_j - \mu)}}""",
    "EqualizedFocalLoss": r"""
        \alpha_t\, \frac{\gamma_j}{\gamma}\, (1 - p_t)^{\gamma_j}\, \mathrm{BCE},

        \gamma_j = \gamma + \mathrm{scale\_factor}\, (1 - g_j)""",
    "GHMC": r"\frac{N}{n\,m}\, \mathrm{BCE}(p, y)",
}
QUALITIES = {
    "VarifocalLoss": r"""
        \begin{cases} q\, \mathrm{BCE}(p, q) & q > 0 \\ \alpha\, p^\gamma\, \mathrm{BCE}(p, 0) & q = 0 \end{cases}""",
    "QualityFocalLoss": r"\sum_k |q_k - p_k|^\beta\, \mathrm{BCE}(p_k, q_k)",
    "MatchabilityAwareLoss": r"""
        \begin{cases} \mathrm{BCE}(p, q^\gamma) & \text{positive} \\
        p^\gamma\, \mathrm{BCE}(p, 0) & \text{negative} \end{cases}""",
    "RTDETRVarifocalLoss": r"""
        \begin{cases} q\, \mathrm{BCE}(p, q) & \text{positive} \\
        \alpha\, p^\gamma\, \mathrm{BCE}(p, 0) & \text{negative} \end{cases}""",
    "IABCELoss": r"""
        \begin{cases} \mathrm{BCE}(p, t) & \text{positive} \\
        p^\gamma\, \mathrm{BCE}(p, 0) & \text{negative} \end{cases},

        t = \max\left(p^\alpha q^{1 - \alpha}, \mathrm{min\_target}\right)""",
    "PositionSupervisedLoss": r"""
        \begin{cases} \alpha\, |t - p|^\gamma\, \mathrm{BCE}(p, t) & \text{positive} \\
        (1 - \alpha)\, p^\gamma\, \mathrm{BCE}(p, 0) & \text{negative} \end{cases},

        t = q^{\,\mathrm{quality\_power}}""",
    "SlideLoss": r"""
        w(q)\, \mathrm{BCE}(p, q),

        w(q) = \begin{cases} 1 & q \le m - 0.1 \\ e^{1 - m} & m - 0.1 < q < m \\ e^{1 - q} & q \ge m \end{cases}""",
    "EMASlideLoss": r"""
        w(q)\, \mathrm{BCE}(p, q),

        w(q) = \begin{cases} 1 & q \le m - 0.1 \\ e^{1 - m} & m - 0.1 < q < m \\ e^{1 - q} & q \ge m \end{cases}

        m \leftarrow d\, m + (1 - d)\, m_k, \qquad d = 0.999\, \big(1 - e^{-k / 2000}\big)""",
    "APLoss": r"""
        1 - \operatorname{mean}_i \frac{\mathrm{rank}_i}{\mathrm{rank}_i + \mathrm{false}_i}

        \mathrm{rank}_i = 1 + \sum_{j \ne i,\ \mathrm{positive}} H(s_j - s_i), \quad
        \mathrm{false}_i = \sum_{j\ \mathrm{negative}} H(s_j - s_i), \quad
        H(x) = \min\left(\max\left(\frac{x}{2 \delta} + \frac12, 0\right), 1\right)""",
    "RankSortLoss": r"""
        \operatorname{mean}_i \left[\frac{\mathrm{false}_i}{\mathrm{rank}_i + \mathrm{false}_i}
        + \frac{\sum_j H_{ij}\, (1 - q_j)}{\sum_j H_{ij}}
        - \frac{\sum_{j:\ q_j \ge q_i} H_{ij}\, (1 - q_j)}{\sum_{j:\ q_j \ge q_i} H_{ij}}\right]

        H_{ij} = \min\left(\max\left(\frac{s_j - s_i}{2 \delta} + \frac12, 0\right), 1\right),
        \quad j \text{ over the positives}""",
}
OTHERS = {
    "DiceLoss": r"1 - \frac{2 \sum p\, y}{\sum p^2 + \sum y^2}",
    "KnowledgeDistillationKLDivLoss": r"""
        T^2\, \mathrm{KL}\left(\operatorname{softmax}(t / T) \,\|\, \operatorname{softmax}(p / T)\right)""",
    "MultiPosCrossEntropyLoss": r"""
        \ln\left(1 + \sum_{\mathrm{neg}} e^{z} \sum_{\mathrm{pos}} e^{-z}\right)""",
    "MarginL2Loss": r"\big(\min(\max(p - \mathrm{margin}, 0), 1) - y\big)^2",
    "L2Loss": r"\big(\min(\max(p - \mathrm{margin}, 0), 1) - y\big)^2",
    "TripletLoss": r"\max(d_p - d_n + \mathrm{margin},\ 0)",
    "AssociativeEmbeddingLoss": r"""
        \mathrm{pull} = \frac1n \sum_i \left(|tl_i - m_i|^2 + |br_i - m_i|^2\right),

        \mathrm{push} = \frac{1}{n (n - 1)} \sum_{i \ne j} \max(1 - |m_i - m_j|,\ 0)""",
}
OBJECTIVES = {
    "GridObjectnessLoss": r"L_{\mathrm{object}} + \lambda_{\mathrm{box}}\, L_{\mathrm{box}}",
    "YOLOv1Loss": r"""
        \lambda_{\mathrm{coord}} \sum_{\mathrm{obj}} \left[(x - X)^2 + (y - Y)^2 + (\sqrt w - \sqrt W)^2
        + (\sqrt h - \sqrt H)^2\right]

        {} + \lambda_{\mathrm{obj}} \sum_{\mathrm{obj}} (c - \mathrm{IoU})^2
        + \lambda_{\mathrm{noobj}} \sum_{\mathrm{noobj}} c^2
        + \lambda_{\mathrm{class}} \sum_{\mathrm{cells}} \sum_k (p_k - P_k)^2""",
    "YOLOv2Loss": r"""
        \lambda_{\mathrm{coord}} \sum_{\mathrm{obj}} (2 - W H)\, |b - B|^2
        + \lambda_{\mathrm{obj}} \sum_{\mathrm{obj}} (\mathrm{IoU} - o)^2

        {} + \lambda_{\mathrm{noobj}} \sum_{\mathrm{noobj}} o^2
        + \lambda_{\mathrm{class}} \sum_{\mathrm{obj}} \mathrm{class}, \qquad o = \sigma(t_o)""",
    "YOLOv3Loss": r"""
        \sum_{\mathrm{obj}} (2 - W H) \left[\lambda_{xy}\, \big(\mathrm{BCE}(t_x, X) + \mathrm{BCE}(t_y, Y)\big)
        + \frac{\lambda_{wh}}{2}\, \big((t_w - T_w)^2 + (t_h - T_h)^2\big)\right]

        {} + \lambda_{\mathrm{obj}} \sum_{\mathrm{obj}} \mathrm{BCE}(t_o, 1)
        + \lambda_{\mathrm{noobj}} \sum_{\mathrm{noobj}} \mathrm{BCE}(t_o, 0)
        + \lambda_{\mathrm{class}} \sum_{\mathrm{obj}} \sum_k \mathrm{BCE}(t_k, P_k)""",
    "YOLOv4Loss": r"""
        \lambda_{\mathrm{box}} \sum_{\mathrm{obj}} \mathrm{box}(b, B)
        + \lambda_{\mathrm{obj}} \sum_{\mathrm{obj}} \mathrm{BCE}(t_o, 1)
        + \lambda_{\mathrm{noobj}} \sum_{\mathrm{noobj}} \mathrm{BCE}(t_o, 0)

        {} + \lambda_{\mathrm{class}} \sum_{\mathrm{obj}} \sum_k
        \mathrm{BCE}\left(t_k,\; P_k (1 - e) + \frac{e}{2}\right)""",
}
FORMULAS: dict[str, str] = BOXES | COORDINATES | ROTATED | LABELS | QUALITIES | OTHERS | OBJECTIVES
