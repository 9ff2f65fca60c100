"""Writes steps.json: what PyTorch makes, in double precision, of the pieces of a training step that are no layers: softmax cross-entropy, the
reparametrisation of a variational autoencoder with its divergence, and a whole step of a generative adversarial network.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 numpy && venv/bin/python steps.py

A weight of dense is (inputs, units), as in this crate.
"""
import json, pathlib, torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

def rounded(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]

def values(*shape):
    # Numbers that f32 holds exactly, so that both sides start from the same input.
    return (torch.randn(*shape) * 64).round() / 64

def cross_entropy():
    logits = (values(6, 5) * 4).requires_grad_()
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    accuracy = (logits.argmax(1) == labels).double().mean()
    return dict(logits=rounded(logits), labels=labels.tolist(), loss=loss.item(), accuracy=accuracy.item(), gradient=rounded(logits.grad))

def reparametrisation():
    heads, epsilon, target, kl_weight = values(4, 6).requires_grad_(), values(4, 3), values(4, 3), 0.125
    mean, log_variance = heads.chunk(2, 1)
    code = mean + torch.exp(0.5 * log_variance) * epsilon
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    reconstruction = F.mse_loss(code, target)
    (reconstruction + kl_weight * kl).backward()
    return dict(heads=rounded(heads), epsilon=rounded(epsilon), target=rounded(target), kl_weight=kl_weight, code=rounded(code), kl=kl.item(),
                reconstruction=reconstruction.item(), gradient=rounded(heads.grad))

def gan(label_smoothing):
    rows, rate = 4, 0.5
    real, noise = torch.rand(rows, 9).mul(64).round() / 64, values(rows, 3)
    weights = [values(3, 5), values(5), values(5, 9), values(9), values(9, 4), values(4), values(4, 1), values(1)]
    before = [w.clone() for w in weights]
    generator, discriminator = weights[:4], weights[4:]
    for weight in weights: weight.requires_grad_()
    generate = lambda: torch.sigmoid(F.relu(noise @ generator[0] + generator[1]) @ generator[2] + generator[3])
    def judge(x):
        return torch.sigmoid(F.leaky_relu(x @ discriminator[0] + discriminator[1], 0.2) @ discriminator[2] + discriminator[3])
    ones, zeros = torch.ones(rows, 1), torch.zeros(rows, 1)
    descent = [torch.optim.SGD(generator, lr=rate), torch.optim.SGD(discriminator, lr=rate)]

    discriminator_loss = F.binary_cross_entropy(judge(real), ones - label_smoothing) + F.binary_cross_entropy(judge(generate().detach()), zeros)
    discriminator_loss.backward()
    discriminator_gradients = [w.grad.clone() for w in discriminator]
    descent[1].step()
    generator_loss = F.binary_cross_entropy(judge(generate()), ones)
    for weight in weights: weight.grad = None
    generator_loss.backward()
    generator_gradients = [w.grad.clone() for w in generator]
    descent[0].step()
    return dict(real=rounded(real), noise=rounded(noise), learning_rate=rate, label_smoothing=label_smoothing,
                weights=[rounded(w) for w in before], discriminator_loss=discriminator_loss.item(), generator_loss=generator_loss.item(),
                gradients=[rounded(g) for g in generator_gradients + discriminator_gradients], after=[rounded(w) for w in weights])

cases = dict(torch=torch.__version__, cross_entropy=cross_entropy(), reparametrisation=reparametrisation(), gan=[gan(0.0), gan(0.1)])
(pathlib.Path(__file__).parent / "steps.json").write_text(json.dumps(cases) + "\n")
