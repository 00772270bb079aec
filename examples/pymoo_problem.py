"""A search driven by pymoo: any of its algorithms, its own `minimize`, motemo's front.

An architecture is trained once, whichever run asks for it: the second run takes over what the
first has found out.
"""

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.spea2 import SPEA2
from pymoo.optimize import minimize

import motemo


def main() -> None:
    data = motemo.load_data("digits", images_per_class=40)
    objectives = [motemo.Mote(data=data), motemo.Params(classes=data.classes)]
    problem = motemo.NasProblem(motemo.NasBench201(), objectives, ["params<=600k"])

    result = minimize(problem, NSGA2(pop_size=6, **problem.operators()), ("n_gen", 3), seed=0)
    for genome in result.X:  # one integer per gene
        print(problem.architecture(genome).genotype)

    minimize(problem, SPEA2(pop_size=6, **problem.operators()), ("n_gen", 2), seed=0)
    front = problem.front()
    for member in front:
        mote, params = member.measurements["mote"], member.measurements["params"]
        print(f"{member.architecture.genotype}  mote {mote.value:.3f}, {params.value:,.0f} params")
    print(
        f"{len(front)} of {len(front.evaluated)} trained architectures are on the front, of "
        f"{len(problem.evaluations)} that pymoo asked for"
    )


if __name__ == "__main__":
    main()
