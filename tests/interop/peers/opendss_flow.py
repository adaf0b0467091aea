"""Solves a net, described on stdin as JSON, with OpenDSS, and prints the nodes' voltages by phase in volts."""

import json
import sys

import opendssdirect as dss


def main() -> None:
    net = json.load(sys.stdin)
    nodes, lines, trafos, loads = (net[name] for name in ("nodes", "lines", "transformers", "loads"))
    source = net["sources"]["node"][0]
    kv = nodes["u_rated"][source] / 1e3
    dss.Command("clear")
    dss.Command("set DefaultBaseFrequency=50")
    dss.Command(
        f"new circuit.net bus1=n{source} basekv={kv} pu={net['sources']['u_ref'][0]} phases=3 Z1=[0, 1e-9] Z0=[0, 1e-9]"
    )
    for row in range(len(lines["from_node"])):
        start, end = lines["from_node"][row], lines["to_node"][row]
        of = {name: lines[name][row] for name in ("r1", "x1", "r0", "x0")}
        values = " ".join(f"{name}={value}" for name, value in of.items())
        dss.Command(f"new line.l{row} bus1=n{start} bus2=n{end} phases=3 {values} c1=0 c0=0 length=1 units=none")
    for row in range(len(trafos["from_node"])):
        sn = trafos["sn"][row]
        r_percent = trafos["pk"][row] / sn * 100
        x_percent = ((trafos["uk"][row] * 100) ** 2 - r_percent**2) ** 0.5
        dss.Command(
            f"new transformer.t{row} phases=3 windings=2 buses=[n{trafos['from_node'][row]} n{trafos['to_node'][row]}] "
            f"conns=[delta wye] kvs=[{trafos['u1'][row] / 1e3} {trafos['u2'][row] / 1e3}] "
            f"kvas=[{sn / 1e3} {sn / 1e3}] xhl={x_percent} %rs=[{r_percent / 2} {r_percent / 2}] %noloadloss=0 %imag=0 "
            "ppm_antifloat=0"
        )
    for row, node in enumerate(loads["node"]):
        for phase in range(3):
            p_kw, q_kvar = loads["p_w"][row][phase] / 1e3, loads["q_var"][row][phase] / 1e3
            if p_kw or q_kvar:
                kv = nodes["u_rated"][node] / 3**0.5 / 1e3
                dss.Command(
                    f"new load.d{row}_{phase} bus1=n{node}.{phase + 1} phases=1 kv={kv} "
                    f"kw={p_kw} kvar={q_kvar} model=1 vminpu=0.5 vmaxpu=1.5"
                )
    dss.Command("set tolerance=1e-12 maxiterations=200 controlmode=off mode=snapshot")
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    volts = []
    for node in range(len(nodes["u_rated"])):
        dss.Circuit.SetActiveBus(f"n{node}")
        parts = dss.Bus.Voltages()
        volts.append([abs(complex(parts[2 * phase], parts[2 * phase + 1])) for phase in range(3)])
    json.dump(volts, sys.stdout)


main()
