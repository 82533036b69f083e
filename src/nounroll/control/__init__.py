"""Act in gymnasium's environments: collect episodes, imitate an expert, and predict the environment."""

from nounroll.control.environments import Acrobot, CartPole, MountainCar, TMaze
from nounroll.control.episodes import Episode, Episodes
from nounroll.control.imitation import Imitation, imitate
from nounroll.control.picture import episode_picture
from nounroll.control.playing import collect
from nounroll.control.returns import Returns
from nounroll.control.world import Imagined, compare_imagined, imagine, world_sequences

__all__ = [
    "Acrobot",
    "CartPole",
    "Episode",
    "Episodes",
    "Imagined",
    "Imitation",
    "MountainCar",
    "Returns",
    "TMaze",
    "collect",
    "compare_imagined",
    "episode_picture",
    "imagine",
    "imitate",
    "world_sequences",
]
