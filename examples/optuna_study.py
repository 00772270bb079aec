"""An Optuna study of one's own, extended by motemo's objectives.

The study, its sampler and its storage stay yours. The trial has a parameter that motemo knows
nothing of, the number of images per class, and the function adds an objective of its own.
"""

import optuna

import motemo


def main() -> None:
    space = motemo.NasBench201()
    data = motemo.load_data("digits", images_per_class=40)
    objectives = [motemo.Mote(data=data), motemo.Params(), motemo.Flops()]
    architecture_objective = motemo.trial_objective(space, objectives, constraints=["params<=1M"])

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        resolution = trial.suggest_categorical("resolution", [16, 24, 32])  # a parameter of yours
        mote, params, flops = architecture_objective(trial)
        return mote, params, flops * (resolution / 32) ** 2

    study = optuna.create_study(
        study_name="mine",
        directions=[o.direction for o in objectives],
        sampler=optuna.samplers.TPESampler(seed=0),
    )
    study.optimize(objective, n_trials=12)

    for trial in study.best_trials:
        print(trial.number, trial.values, trial.params["resolution"])
    front = motemo.read_front(study)  # what motemo measured, as a front of architectures
    print(f"{len(front)} of {len(front.evaluated)} architectures are on motemo's front")


if __name__ == "__main__":
    main()
