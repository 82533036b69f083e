"""Values of settings that are out of range, for the recipe of ``commands.TINY``: (setting, value, what is allowed)."""

BELOW_0 = [
    *("smt.decoding", "smt.readout", "smt.dynamics", "smt.uniformity", "smt.step_readout", "smt.noise"),
    *("dmt.dynamics", "dmt.last_dynamics", "dmt.readout", "training.weight_decay"),
]
AT_0 = [
    *("smt.share", "smt.learning_rate", "dmt.share", "dmt.learning_rate", "dmt.lost"),
    *("bptt.share", "bptt.learning_rate", "training.learning_rate", "training.clip", "training.seconds"),
]
NOT_A_SHARE = [
    *("smt.labels_learn", "smt.inputs_learn", "dmt.mixing", "training.warmup", "training.curriculum_share"),
]
LESS_THAN_ONE = [
    *("length", "readout_width", "cell.tokens", "cell.memory_width", "cell.width", "cell.layers"),
    *("teacher.layers", "teacher.heads", "teacher.context", "smt.horizon", "smt.windows", "smt.transitions"),
    *("dmt.window", "bptt.truncation"),
    *("training.evaluations", "training.evaluation_sequences", "training.log_every", "training.keep"),
]
NO_NUMBER_OF = ["training.steps", "training.batch_size", "training.first_length", "training.accumulate"]

OUT_OF_RANGE: list[tuple[str, object, str]] = [
    *((name, -0.25, "it must be at least 0") for name in BELOW_0),
    *((name, value, "it must be more than 0") for name in AT_0 for value in (0.0, -1.5)),
    *((name, value, "it must be within 0 and 1") for name in NOT_A_SHARE for value in (-0.25, 1.25)),
    *((name, value, "it must be at least 1") for name in LESS_THAN_ONE for value in (0, -3)),
    *((name, value, "it must be more than 0") for name in NO_NUMBER_OF for value in (0, -3)),
    ("smt.power", 0.75, "it must be at least 1"),
    ("teacher.width", 1, "it must be at least 2"),
    ("teacher.decoder_layers", -1, "it must be at least 0"),
    ("teacher.heads", 3, "it must divide teacher.width 16 into even head widths"),
    ("teacher.heads", 16, "it must divide teacher.width 16 into even head widths"),
    ("training.accumulate", 3, "it must divide training.batch_size 4"),
    ("training.betas", (0.9, 1.0), "each must be at least 0 and less than 1"),
    ("training.betas", (-0.1, 0.9), "each must be at least 0 and less than 1"),
]


def override(setting: str, value: object) -> str:
    """``dotted.name=value``, as the command line takes it."""
    return f"{setting}={list(value) if isinstance(value, tuple) else value}"
