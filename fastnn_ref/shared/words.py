"""Words that other libraries have for what has another name here: errors say the name."""

ARGUMENTS = {                       # several names where classes differ
    "learning_rate": "lr", "eta": "lr", "rate": "p", "drop_prob": "p", "dropout": "p", "beta_1": "betas",
    "beta1": "betas", "beta_2": "betas", "beta2": "betas", "epsilon": "eps", "rho": "alpha", "decay": "weight_decay",
    "clipnorm": "clip_norm", "global_clipnorm": "clip_norm", "clipvalue": "clip_value", "units": "out_features",
    "input_dim": "in_features num_embeddings", "output_dim": "out_features embedding_dim", "filters": "out_channels",
    "strides": "stride", "pool_size": "kernel_size", "dilation_rate": "dilation", "use_bias": "bias",
    "kernel_initializer": "init", "weight_init": "init", "stddev": "std", "lambda_": "strength", "l1_ratio": "l1",
    "random_state": "seed", "weight": "class_weight",
}
CHOICES = {"swish": "silu", "hard_swish": "hardswish", "hard_silu": "hardswish", "linear": "identity",
           "logistic": "sigmoid", "gelu_new": "gelu_tanh"}
CLASSES = {
    "Dense": "Linear", "Conv2D": "Conv2d", "MaxPooling2D": "MaxPool2d", "AveragePooling2D": "AvgPool2d",
    "GlobalAveragePooling2D": "GlobalAvgPool2d", "BatchNormalization": "BatchNorm1d or BatchNorm2d",
    "LayerNormalization": "LayerNorm", "Swish": "SiLU", "Model": "Sequential", "Module": "CustomLayer",
    "BCELoss": "BCEWithLogitsLoss", "MAELoss": "L1Loss", "SmoothL1Loss": "HuberLoss", "RMSProp": "RMSprop",
    "Trainer": "fit, a method of the model",
}


def nearest(word: str, names: list[str]) -> list[str]:
    """The name that is written almost like a word, if there is one."""
    import difflib  # of use to an error alone

    return difflib.get_close_matches(word, names, n=1)


def missing(package: str, name: str) -> AttributeError:
    """The error for a name that a package does not have."""
    word = f"; it is {CLASSES[name]} here" if name in CLASSES else ""
    return AttributeError(f"module {package!r} has no attribute {name!r}{word}")
