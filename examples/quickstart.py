"""Search NAS-Bench-201 for cells that are accurate, small and fast on this machine.

Trains on scikit-learn's digits, measures latency on this CPU, takes about half a minute.
"""

import motemo


def main() -> None:
    data = motemo.load_data("digits", images_per_class=60)
    objectives = [
        motemo.Mote(data=data),  # estimate of accuracy, higher is better
        motemo.Params(classes=data.classes),
        motemo.Latency(device=motemo.cpu(), classes=data.classes),
    ]
    front = motemo.search(
        motemo.NasBench201(), objectives, trials=12, constraints=["latency_ms<=5"], seed=0
    )
    for member in front:
        values = [f"{name}={m.value:.4g} {m.unit}" for name, m in member.measurements.items()]
        print(f"trial {member.trial}: {', '.join(values)}  {member.architecture.genotype}")

    fast = front.within("latency_ms<=1")  # narrow it to a budget
    best = fast.members[0]  # members are sorted by the first objective
    network = best.architecture.build(input_shape=(3, 32, 32), classes=data.classes)
    print(f"best below 1 ms: {best.architecture.genotype}")
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters, ready to be trained")


if __name__ == "__main__":
    main()
