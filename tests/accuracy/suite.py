"""The networks of the suite, and which of them are hard."""
import dataclasses

ORDINARY, HARD = "ordinary", "hard"


@dataclasses.dataclass(frozen=True)
class Fann:
    """Trained by libfann. functions: of the hidden neurons in turn. Linear outputs have the steepness 1, for FANN's
    fixed point knows no other."""
    id: str
    group: str
    data: str
    algorithm: str  # rprop, quickprop, incremental; cascade
    hidden: tuple  # neurons of each layer; of a cascade: how many it may add
    functions: tuple
    output: str
    epochs: int = 0
    rate: float = 0.7
    steepness: float = 0.5
    kind: str = "layered"  # layered, sparse, shortcut
    seed: int = 1

    tool = "libfann"


@dataclasses.dataclass(frozen=True)
class Sklearn:
    """Trained by scikit-learn (MLPClassifier, MLPRegressor) on standardised data."""
    id: str
    data: str
    hidden: tuple
    activation: str  # tanh, relu, logistic, leaky
    epochs: int = 100
    alpha: float = 1e-4
    seed: int = 1
    group: str = ORDINARY

    tool = "scikit-learn"
    algorithm = "adam"
    kind = "layered"


SUITE = [
    Sklearn("digits-tanh", "sklearn-digits", (64,), "tanh"),
    Sklearn("digits-relu", "sklearn-digits", (256, 64), "relu"),
    Sklearn("cancer-logistic", "sklearn-breast_cancer", (24,), "logistic"),
    Sklearn("disease-relu", "sklearn-diabetes", (32,), "relu", alpha=1.0),
    Sklearn("mushroom-tanh", "mushroom", (64,), "tanh", epochs=20),
    Sklearn("gene-relu", "gene", (100, 40), "relu", epochs=20, alpha=0.1),
    Sklearn("thyroid-tanh", "thyroid", (32, 16), "tanh"),
    Sklearn("kin32fm-relu", "kin32fm", (128, 32), "relu", alpha=0.1),
    Sklearn("bank32nh-tanh", "bank32nh", (32,), "tanh", alpha=0.1),
    Sklearn("building-logistic", "building", (64,), "logistic"),
    Sklearn("abelone-leaky", "abelone", (64, 32), "leaky", alpha=0.01),
    Fann("mushroom-incremental", ORDINARY, "mushroom", "incremental", (16,), ("sigmoid",), "sigmoid", 10, 0.1),
    Fann("gene-stepwise", ORDINARY, "gene", "incremental", (24,), ("sigmoid_stepwise",), "sigmoid_stepwise", 15, 0.05),
    Fann("bank32fm-stepwise", ORDINARY, "bank32fm", "incremental", (32,), ("sigmoid_symmetric_stepwise",),
         "linear_piece", 40, 0.01),
    Fann("building-elliot", ORDINARY, "building", "incremental", (32,), ("elliot_symmetric",), "elliot", 60, 0.1),
    Fann("kin32fm-quickprop", ORDINARY, "kin32fm", "quickprop", (32,), ("sigmoid_symmetric",), "linear", 400, 0.1),

    Fann("soybean-rprop", HARD, "soybean", "rprop", (32,), ("sigmoid_symmetric",), "sigmoid_symmetric", 300),
    Fann("thyroid-rprop", HARD, "thyroid", "rprop", (24,), ("sigmoid_symmetric",), "sigmoid", 600),
    Fann("gene-rprop", HARD, "gene", "rprop", (24,), ("sigmoid_symmetric",), "sigmoid_symmetric", 100),
    Fann("diabetes-rprop", HARD, "diabetes", "rprop", (40,), ("sigmoid_symmetric",), "sigmoid", 1000),
    Fann("building-rprop", HARD, "building", "rprop", (32, 16), ("sigmoid_symmetric",), "linear", 500),
    Fann("robot-piecewise", HARD, "robot", "rprop", (32,), ("linear_piece_symmetric", "linear_piece"), "linear", 1000,
         steepness=1.0),
    Fann("gene-sparse", HARD, "gene", "rprop", (40, 20), ("sigmoid_symmetric",), "sigmoid", 150, kind="sparse"),
    Fann("abelone-shortcut", HARD, "abelone", "rprop", (24, 24), ("sigmoid_symmetric", "gaussian"), "linear", 400,
         kind="shortcut"),
    Fann("soybean-shortcut", HARD, "soybean", "quickprop", (24, 12), ("sigmoid_symmetric",), "sigmoid", 500, 0.1,
         kind="shortcut"),
    Fann("thyroid-cascade", HARD, "thyroid", "cascade", (12,), (), "sigmoid_symmetric", kind="shortcut"),
    Fann("building-cascade", HARD, "building", "cascade", (25,), (), "linear", kind="shortcut"),
    Fann("spiral-cascade", HARD, "two-spiral", "cascade", (25,), (), "sigmoid_symmetric", kind="shortcut"),
    Fann("pumadyn-waves", HARD, "pumadyn-32fm", "rprop", (32,),
         ("sin_symmetric", "cos_symmetric", "sin", "cos"), "linear", 200),
    Fann("kin32fm-all", HARD, "kin32fm", "rprop", (36,),
         ("linear", "threshold", "threshold_symmetric", "sigmoid", "sigmoid_stepwise", "sigmoid_symmetric",
          "sigmoid_symmetric_stepwise", "gaussian", "gaussian_symmetric", "gaussian_stepwise", "elliot",
          "elliot_symmetric", "linear_piece", "linear_piece_symmetric", "sin_symmetric", "cos_symmetric", "sin", "cos"),
         "linear", 100),
    Sklearn("census-leaky", "census-house", (64, 32), "leaky", epochs=60, group=HARD),
    Fann("diabetes-decision", HARD, "diabetes", "rprop", (24,), ("elliot_symmetric",), "threshold_symmetric", 300),
]
