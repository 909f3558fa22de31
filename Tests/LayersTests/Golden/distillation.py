"""Knowledge distillation: (1 - a) cross-entropy + a T^2 KL(teacher || student), computed in float64."""

import torch
import torch.nn.functional as F
from golden import Golden

golden = Golden("distillation", seed=9)
for name, n, classes, temperature, weight, smoothing, weighted, scale in [
    ("plain", 5, 4, 4.0, 0.5, 0.0, False, 2),
    ("one-image", 1, 3, 1.0, 0.9, 0.0, False, 1),
    ("soft-only", 6, 5, 2.0, 1.0, 0.0, False, 3),
    ("hard-only", 6, 5, 2.0, 0.0, 0.1, True, 3),
    ("smooth-weighted", 19, 8, 3.0, 0.7, 0.2, True, 2),
    ("many-classes", 17, 40, 8.0, 0.25, 0.1, True, 5),
    ("cold", 7, 16, 0.5, 0.5, 0.0, False, 4),
    ("two-classes", 33, 2, 20.0, 0.5, 0.0, False, 10),
]:
    # float32 numbers, so that both programs begin with the same.
    z = (scale * torch.randn(n, classes)).double().requires_grad_()
    t = (scale * torch.randn(n, classes)).double()
    labels = torch.randint(classes, (n,))
    weights = torch.rand(classes) + 0.25 if weighted else None
    hard = F.cross_entropy(z, labels, None if weights is None else weights.double(), label_smoothing=smoothing)
    soft = temperature**2 * F.kl_div(
        F.log_softmax(z / temperature, 1), F.softmax(t / temperature, 1), reduction="batchmean")
    ((1 - weight) * hard + weight * soft).backward()
    golden.add(
        name, {"temperature": temperature, "weight": weight, "smoothing": smoothing}, z=z, t=t, labels=labels,
        weights=weights, hard=hard.reshape(1), soft=soft.reshape(1), dz=z.grad,
    )
golden.save()
