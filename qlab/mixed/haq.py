"""HAQ: an agent walks through the layers, sees each one's shape, and names its bits; the accuracy is its reward.

    state    O_k = (k, c_in, c_out, kernel, stride, size of the input, n_k, depth-wise?, a_{k−1})      each in [0, 1]
    action   a_k ∈ [0, 1],   choice = round(B·a_k − ½)           continuous, so that "more bits" is a direction
    budget   while it is exceeded: lower the bits of one layer after another by one choice
    reward   R = λ·(accuracy − accuracy_fp)                      after the last layer, λ = 0.1, the same for all steps

The learner is DDPG: a critic Q(O, a) learns R − R̄ + γ·Q(O', μ(O')) with γ = 1 and R̄ the running mean of rewards, an
actor μ(O) climbs Q, and exploration adds truncated Gaussian noise that shrinks. HAQ fine-tunes each network for an
epoch before it is rewarded and chooses bits for activations too; here it is judged as it is, and only weights have a
choice (i_{w/a} of the paper's state falls away).

Sources: Wang et al. 2019, *HAQ: hardware-aware automated quantization with mixed precision*, section 3; the learner:
Lillicrap et al. 2016, *Continuous control with deep reinforcement learning*.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qlab.mixed.assignment import Space
from qlab.mixed.search import Choice, Judge, Record, Search
from qlab.network import quantizable_layers

__all__ = ["HAQSettings", "haq", "layer_states", "lower_to_budget"]


@dataclass(frozen=True)
class HAQSettings:
    """How the agent learns.

    Attributes
    ----------
    episodes : int
        Walks through the network; each names one assignment.
    warmup : int
        Episodes of random actions at the start.
    noise, decay : float
        Deviation of the exploration after the warm-up, and its factor per episode.
    hidden, batch : int
        Width of actor and critic, and transitions per update.
    actor_lr, critic_lr : float
        Of Adam.
    follow : float
        Share by which the slow copies of both follow at each update.
    reward_scale : float
        λ.
    seed : int

    Survey-map row: M4.
    """

    episodes: int = 150
    warmup: int = 20
    noise: float = 0.5
    decay: float = 0.98
    hidden: int = 64
    batch: int = 64
    actor_lr: float = 1e-3
    critic_lr: float = 1e-2
    follow: float = 0.01
    reward_scale: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.warmup < self.episodes or not 0 < self.decay <= 1:
            raise ValueError(f"need 0 < warmup < episodes and decay in (0, 1], got {self}")


def layer_states(model: nn.Module, space: Space) -> Tensor:
    """Return the features of every layer that do not depend on actions, each scaled to [0, 1].

    Returns
    -------
    Tensor, shape (layers, 8)
        Place, inputs, outputs, kernel, stride, size of the input, parameters, whether it is depth-wise. A linear layer
        counts as a convolution with a kernel and a stride of 1 on one pixel.

    References
    ----------
    Wang et al. 2019, section 3.1.

    Survey-map row: M4.
    """
    layers, rows = quantizable_layers(model), []
    for k, cost in enumerate(space.layers):
        layer = layers[cost.name]
        conv = hasattr(layer, "kernel_size")
        c_in, c_out = (layer.in_channels, layer.out_channels) if conv else (layer.in_features, layer.out_features)
        kernel, stride = (layer.kernel_size[-1], layer.stride[-1]) if conv else (1, 1)
        depthwise = float(conv and layer.groups == c_in > 1)
        rows.append([k, c_in, c_out, kernel, stride, cost.inputs / c_in, cost.parameters, depthwise])
    table = torch.tensor(rows, dtype=torch.float32)
    low, high = table.amin(0), table.amax(0)
    return (table - low) / (high - low).clamp(min=1e-9)


def lower_to_budget(choice: Choice, space: Space, limit: float) -> Choice:
    """Return the choice lowered until it fits: one layer after another loses one step, round and round.

    Raises
    ------
    ValueError
        If nothing fits.

    References
    ----------
    Wang et al. 2019, section 3.4.

    Survey-map row: M4.
    """
    space.check_limit(limit)
    found = list(choice)
    while space.total(space.nbytes, found) > limit:
        for i in range(len(found)):
            found[i] = max(found[i] - 1, 0)
            if space.total(space.nbytes, found) <= limit:
                break
    return tuple(found)


def haq(
    judge: Judge, model: nn.Module, space: Space, limit: float, reference: float, settings: HAQSettings | None = None
) -> Search:
    """Return what the agent finds within a budget of bytes.

    Parameters
    ----------
    judge : function of a choice
        Validation accuracy, 0 … 1.
    model : nn.Module
        For the layers' features.
    space : Space
    limit : float
        Bytes of weights and scales.
    reference : float
        Accuracy in floating point.
    settings : HAQSettings, optional

    Returns
    -------
    Search
        The best assignment of all episodes, as in the paper.

    Raises
    ------
    ValueError
        If nothing fits the budget.

    References
    ----------
    Wang et al. 2019, section 3.

    Survey-map row: M4.
    """
    s = settings or HAQSettings()
    record = Record(judge, s.episodes)
    shapes, layers, choices = layer_states(model, space), len(space.layers), len(space.choices)
    rng = np.random.default_rng(s.seed)
    agent = _Agent(shapes.shape[1] + 1, s)
    memory: list[tuple[Tensor, float, float, Tensor, float]] = []
    mean_reward = 0.0
    for episode in range(s.episodes):
        deviation = s.noise * s.decay ** max(episode - s.warmup, 0)
        states, actions, last = [], [], 1.0
        for k in range(layers):
            state = torch.cat([shapes[k], torch.tensor([last])])
            last = rng.random() if episode < s.warmup else _truncated(agent.act(state), deviation, rng)
            states.append(state)
            actions.append(last)
        named = tuple(int(np.clip(np.round(choices * a - 0.5), 0, choices - 1)) for a in actions)
        choice = lower_to_budget(named, space, limit)
        reward = s.reward_scale * (record(choice) - reference)
        mean_reward = reward if episode == 0 else 0.95 * mean_reward + 0.05 * reward
        done = [(b + 0.5) / choices for b in choice]  # what was carried out is what is remembered
        states = [torch.cat([shapes[k], torch.tensor([done[k - 1] if k else 1.0])]) for k in range(layers)]
        for k in range(layers):
            follows = states[k + 1] if k + 1 < layers else states[k]
            memory.append((states[k], done[k], reward, follows, float(k + 1 < layers)))
        if episode >= s.warmup:
            for _ in range(layers):
                agent.learn([memory[i] for i in rng.integers(len(memory), size=s.batch)], mean_reward)
    return record.search()


def _truncated(mean: float, deviation: float, rng: np.random.Generator) -> float:
    """Draw from a normal distribution that is cut off outside [0, 1]."""
    for _ in range(100):
        value = rng.normal(mean, deviation)
        if 0 <= value <= 1:
            return float(value)
    return float(np.clip(mean, 0, 1))


class _Agent:
    """DDPG: actor μ, critic Q, and a slow copy of each."""

    def __init__(self, size: int, s: HAQSettings) -> None:
        def network(inputs: int, *end: nn.Module) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, s.hidden), nn.ReLU(), nn.Linear(s.hidden, s.hidden), nn.ReLU(), *end)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(s.seed)
            self.actor = network(size, nn.Linear(s.hidden, 1), nn.Sigmoid())
            self.critic = network(size + 1, nn.Linear(s.hidden, 1))
        self.slow_actor, self.slow_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.actor_step = torch.optim.Adam(self.actor.parameters(), s.actor_lr)
        self.critic_step = torch.optim.Adam(self.critic.parameters(), s.critic_lr)
        self.follow = s.follow

    @torch.no_grad()
    def act(self, state: Tensor) -> float:
        return float(self.actor(state))

    def learn(self, batch: list[tuple[Tensor, float, float, Tensor, float]], baseline: float) -> None:
        state, follows = torch.stack([b[0] for b in batch]), torch.stack([b[3] for b in batch])
        action, reward, goes_on = (torch.tensor([[b[i]] for b in batch]) for i in (1, 2, 4))
        with torch.no_grad():
            later = self.slow_critic(torch.cat([follows, self.slow_actor(follows)], 1))
            target = reward - baseline + goes_on * later
        self.critic_step.zero_grad()
        F.mse_loss(self.critic(torch.cat([state, action], 1)), target).backward()
        self.critic_step.step()
        self.actor_step.zero_grad()
        (-self.critic(torch.cat([state, self.actor(state)], 1)).mean()).backward()
        self.actor_step.step()
        with torch.no_grad():
            for slow, fast in ((self.slow_actor, self.actor), (self.slow_critic, self.critic)):
                for p, q in zip(slow.parameters(), fast.parameters(), strict=True):
                    p.lerp_(q, self.follow)
