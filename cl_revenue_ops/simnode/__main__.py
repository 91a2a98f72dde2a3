"""`python -m cl_revenue_ops.simnode`: call a node, run a simulated one, or show the demo."""

from cl_revenue_ops.simnode.cli import main

raise SystemExit(main())
