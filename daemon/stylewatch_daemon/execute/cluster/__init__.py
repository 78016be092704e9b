"""The executor `ray`: painting by the machines of a Ray cluster, each slot there as one here.

supervisor   executor, office     Orders in, Events out; starts the driver, and outlives it
  | pipe: commands; JSON back
driver       driver, post, bridge the one process that has Ray in it
  | calls of Ray, small ones
painter      painter, larder      an actor on a machine; pictures there by their digests
  | pipe: orders; JSON back
worker       execute.child        what paints, on this machine as well
"""
