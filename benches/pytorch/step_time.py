"""PyTorch's half of the comparison; compare.py drives it.

The network and the steps of scDCC (Tian et al., 2021) as the authors' program takes them: the same
formulas with the same small constants, and every pass that it makes, also those whose result it
does not use. Two things are easier than there: rows of a batch are gathered by one indexing
operation instead of one by one, and nothing is printed.

Requests and answers are those of step_time.rs.
"""

import json
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional

BATCH = 256
GENES = 2000
PRETRAINING_CELLS = 8 * BATCH
CLUSTERING_CELLS = 2100
CLUSTERS = 8
NOISE = 2.5
EPSILON = 1e-10


class Scdcc(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(GENES, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU())
        self.latent = nn.Linear(64, 32)
        self.decoder = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 256), nn.ReLU())
        self.mean = nn.Linear(256, GENES)
        self.dispersion = nn.Linear(256, GENES)
        self.dropout = nn.Linear(256, GENES)
        self.centroids = nn.Parameter(torch.zeros(CLUSTERS, 32))

    def soft_assignment(self, z):
        distances = ((z.unsqueeze(1) - self.centroids) ** 2).sum(dim=2)
        q = 1.0 / (1.0 + distances)
        return (q.t() / q.sum(dim=1)).t()

    def forward(self, x):
        """The noisy pass through the whole network, then the clean pass through the encoder."""
        features = self.decoder(self.latent(self.encoder(x + torch.randn_like(x) * NOISE)))
        mean = torch.clamp(torch.exp(self.mean(features)), min=1e-5, max=1e6)
        dispersion = torch.clamp(functional.softplus(self.dispersion(features)), min=1e-4, max=1e4)
        dropout = torch.sigmoid(self.dropout(features))
        z = self.latent(self.encoder(x))
        return z, self.soft_assignment(z), mean, dispersion, dropout

    def embed(self, x):
        """The embedding of all cells, batch by batch through the whole network."""
        return torch.cat([self.forward(batch)[0].data for batch in x.split(BATCH)])


def target(q):
    weight = q**2 / q.sum(dim=0)
    return (weight.t() / weight.sum(dim=1)).t().data


def clustering_loss(p, q):
    return torch.mean(torch.sum(p * torch.log(p / (q + 1e-6)), dim=-1))


def zinb_loss(x, mean, dispersion, dropout, size_factors):
    mean = mean * size_factors[:, None]
    gammas = (
        torch.lgamma(dispersion + EPSILON)
        + torch.lgamma(x + 1.0)
        - torch.lgamma(x + dispersion + EPSILON)
    )
    powers = (dispersion + x) * torch.log(1.0 + mean / (dispersion + EPSILON)) + x * (
        torch.log(dispersion + EPSILON) - torch.log(mean + EPSILON)
    )
    positive = gammas + powers - torch.log(1.0 - dropout + EPSILON)
    zero_probability = torch.pow(dispersion / (dispersion + mean + EPSILON), dispersion)
    zero = -torch.log(dropout + (1.0 - dropout) * zero_probability + EPSILON)
    return torch.mean(torch.where(torch.le(x, 1e-8), zero, positive))


def simulated_cells(count):
    """Counts of which about a tenth is not zero, as network input, counts and size factors."""
    random = numpy.random.default_rng(1)
    profile = random.gamma(0.6, 1.0, GENES)
    library = random.lognormal(numpy.log(250), 0.2, (count, 1))
    counts = random.poisson(library * profile / profile.sum()).astype(numpy.float32)
    totals = counts.sum(axis=1)
    size_factors = totals / numpy.median(totals)
    values = numpy.log1p(counts / size_factors[:, None])
    deviation = values.std(axis=0, ddof=1)
    deviation[deviation == 0] = 1
    scaled = (values - values.mean(axis=0)) / deviation
    as_tensor = lambda array: torch.tensor(array, dtype=torch.float32)
    return as_tensor(scaled), as_tensor(counts), as_tensor(size_factors)


class Pretraining:
    """Steps of Adam with AMSGrad on the reconstruction loss."""

    def __init__(self):
        self.x, self.counts, self.size_factors = simulated_cells(PRETRAINING_CELLS)
        self.model = Scdcc()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, amsgrad=True)

    def measure(self):
        """Seconds of a step: the mean of an epoch's."""
        start = time.perf_counter()
        batches = torch.randperm(PRETRAINING_CELLS).split(BATCH)
        for rows in batches:
            x, counts, size_factors = self.x[rows], self.counts[rows], self.size_factors[rows]
            _, _, mean, dispersion, dropout = self.model(x)
            loss = zinb_loss(counts, mean, dispersion, dropout, size_factors)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
        return (time.perf_counter() - start) / len(batches)


class Clustering:
    """Epochs of the self-training phase."""

    def __init__(self):
        self.x, self.counts, self.size_factors = simulated_cells(CLUSTERING_CELLS)
        self.model = Scdcc()
        self.model.centroids.data.copy_(self.model.embed(self.x)[:CLUSTERS])
        self.optimizer = torch.optim.Adadelta(self.model.parameters(), lr=1.0, rho=0.95)
        self.labels = numpy.zeros(CLUSTERING_CELLS)

    def measure(self):
        """Seconds of an epoch: assignment and target of all cells, then a step for every batch."""
        start = time.perf_counter()
        q = self.model.soft_assignment(self.model.embed(self.x))
        p = target(q)
        labels = torch.argmax(q, dim=1).numpy()
        numpy.mean(labels != self.labels)
        self.labels = labels
        for rows in torch.arange(CLUSTERING_CELLS).split(BATCH):
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
            self.optimizer.zero_grad()
            _, q, mean, dispersion, dropout = self.model(self.x[rows])
            divergence = clustering_loss(p[rows], q)
            reconstruction = zinb_loss(
                self.counts[rows], mean, dispersion, dropout, self.size_factors[rows]
            )
            (divergence + reconstruction).backward()
            self.optimizer.step()
            divergence.item(), reconstruction.item()
        return time.perf_counter() - start


def main():
    torch.manual_seed(1)
    torch.set_num_threads(int(sys.argv[1]))
    figures = {"scdcc_step": Pretraining(), "clustering_epoch": Clustering()}
    for line in sys.stdin:
        figure, seconds = line.split()
        for _ in range(3):
            figures[figure].measure()
        end = time.perf_counter() + float(seconds)
        times = []
        while not times or time.perf_counter() < end:
            times.append(figures[figure].measure())
        answer = {"figure": figure, "milliseconds": [1e3 * each for each in times]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
