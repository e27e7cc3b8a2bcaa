"""A simulated mine that knows the truth: seeded, pure, no clock and no I/O.

- `layout`: the roadways, zones, people and vehicles of one mine, as `analytics.mine.MineFacts`.
- `power`: machines with power terminals and their daily rhythm, a sump, a supply.
- `motion`: who walks and drives where.
- `scene`: some hours in full detail (tags each second or two, power every two seconds), with faults and offences
  injected; each is written down as `Truth`.
- `days`: months at one sample a minute, for what only shows over days: a mine that is stopped, or only says so.

Equal seeds give equal samples. Rules are judged against `Truth` on seeds that nobody has looked at while writing them.
"""
