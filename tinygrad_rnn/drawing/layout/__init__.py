"""From boxes to positions: columns of time, rows inside a step, ways for the links."""
