"""Softmax cross-entropy with label smoothing and class weights."""

import torch
from golden import Golden

golden = Golden("cross_entropy", seed=4)
for name, n, classes, smoothing, weighted, scale in [
    ("plain", 5, 4, 0.0, False, 1),
    ("one-image", 1, 3, 0.0, False, 1),
    ("smooth", 6, 5, 0.1, False, 1),
    ("weighted", 7, 3, 0.0, True, 1),
    ("smooth-weighted", 19, 8, 0.2, True, 1),
    ("many-classes", 17, 40, 0.1, True, 3),
    ("large-logits", 4, 6, 0.1, False, 60),
    ("all-smooth", 3, 4, 1.0, False, 1),
    ("two-classes", 33, 2, 0.0, False, 4),
]:
    z = (scale * torch.randn(n, classes)).requires_grad_()
    labels = torch.randint(classes, (n,))
    weights = torch.rand(classes) + 0.25 if weighted else None
    loss = torch.nn.functional.cross_entropy(z, labels, weights, label_smoothing=smoothing)
    loss.backward()
    golden.add(
        name, {"smoothing": smoothing, "correct": int((z.argmax(1) == labels).sum())}, z=z, labels=labels,
        weights=weights, loss=loss.reshape(1), dz=z.grad, probabilities=torch.softmax(z, 1),
    )
golden.save()
