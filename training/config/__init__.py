"""What a run does, as data: the first room, which all others may read and which reads none of them.

A recipe makes a configuration, variants change it, the run's folder keeps it. Imports the
contract's names of bands and precisions; PyTorch never.
"""

from training.config.schema import About, DecisionConfig, MemberConfig, RunConfig

__all__ = ["About", "DecisionConfig", "MemberConfig", "RunConfig"]
