"""Values that are out of range: (setting, value, what is allowed). The settings are those of ``commands.TINY``."""

BELOW_0 = [
    *("smt.decoding", "smt.dynamics", "smt.uniformity", "smt.step_readout", "smt.noise"),
    *("dmt.dynamics", "dmt.decoding", "cell.keep", "training.weight_decay"),
    *("training.vary", "adapt.anchor", "adapt.rehearse"),
]
AT_0 = [
    *("smt.share", "dmt.share", "dmt.learning_rate", "training.learning_rate"),
    *("training.seconds", "training.flops", "training.sequential_flops"),
]
NOT_A_SHARE = ["smt.labels_learn", "teacher.distillation"]
LESS_THAN_ONE = [
    *("length", "cell.tokens", "cell.memory_width"),
    *("teacher.layers", "smt.window", "dmt.window", "tbptt.window", "training.evaluations"),
]
LESS_THAN_ZERO = [  # 0 turns the setting off, or leaves it to the cell
    "readout_width",
    *("cell.width", "cell.layers", "teacher.decoder_layers", "teacher.horizon", "smt.transitions"),
    "smt.chunk",
    *("training.curriculum", "training.patience"),
]
NO_NUMBER_OF = ["training.steps", "training.tokens", "training.batch_size", "training.accumulate"]

OUT_OF_RANGE: list[tuple[str, object, str]] = [
    *((name, -0.25, "it must be at least 0") for name in BELOW_0),
    *((name, value, "it must be more than 0") for name in AT_0 for value in (0.0, -1.5)),
    *((name, value, "it must be within 0 and 1") for name in NOT_A_SHARE for value in (-0.25, 1.25)),
    *((name, value, "it must be at least 1") for name in LESS_THAN_ONE for value in (0, -3)),
    *((name, -1, "it must be at least 0") for name in LESS_THAN_ZERO),
    *((name, value, "it must be more than 0") for name in NO_NUMBER_OF for value in (0, -3)),
    *((name, 1001, "it must be at most 1000") for name in ("cell.layers", "teacher.layers", "teacher.decoder_layers")),
    ("adapt.rehearse", 1.0, "it must be less than 1"),
    ("teacher.width", 1, "it must be at least 2"),
    ("teacher.width", 15, "it must be even"),
    ("training.accumulate", 3, "it must divide training.batch_size 4"),
]

AT_LEAST_2 = ["retrieval.values", "copy.symbols", "modular_sum.modulus", "modular_arithmetic.modulus"]
AT_LEAST_2 += ["stack.symbols", "keys_values.values", "recency_primacy.symbols"]
AT_LEAST_1 = ["stack.depth", "keys_values.keys", "tinystories.stories", "array.symbols"]
FRACTIONS = ["parity.scored", "modular_sum.scored", "stack.tops", "recency_primacy.scored"]
MNISTS = ["mnist", "fashion_mnist", "mnist_5k"]

TASK_OPTIONS: list[tuple[str, object, str]] = [
    *((name, value, "it must be at least 2") for name in AT_LEAST_2 for value in (1, -3)),
    *((name, value, "it must be at least 1") for name in AT_LEAST_1 for value in (0, -3)),
    *((name, value, "it must be within 0 and 1") for name in FRACTIONS for value in (-0.25, 1.25)),
    *(("modular_sum.classes", value, "it must be between 2 and 5") for value in (1, 6)),
    *(("modular_arithmetic.coefficients", value, "it must be between 1 and 7") for value in (0, 8)),
    *(("keys_values.pairs", value, "it must be between 1 and 16") for value in (0, 17)),
    *(("keys_values.queries", value, "it must be between 1 and 8") for value in (0, 9)),
    *(("keys_values.gap_power", value, "it must be more than 0") for value in (0.0, -1.5)),
    *((name, -1, "it must be at least 0") for name in ("recency_primacy.distance", "table.ahead")),
    ("music.voices", -1, "it must be between 0 and 64"),
    ("music.frame", 0.0, "it must be 1/64 to 64 quarters"),
    ("music.window", 1, "it must be at least 2"),
    ("music.seed", -1, "it must be between 0 and 4294967295"),
    ("table.window", 1, "it must be at least 2"),
    ("table.freq", 0, "it must be at least 1"),
    ("table.seed", -1, "it must be between 0 and 4294967295"),
    *((f"{kind}.levels", value, "it must be between 2 and 256") for kind in MNISTS for value in (1, 257)),
    *((f"{kind}.side", 10, "it must be one of 28, 14, 7") for kind in MNISTS),
    *(("strokes.side", value, "it must be between 4 and 256") for value in (3, 257)),
]


def override(setting: str, value: object) -> str:
    """``dotted.name=value``, as the command line takes it."""
    return f"{setting}={value}"
