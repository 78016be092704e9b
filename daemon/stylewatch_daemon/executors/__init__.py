"""The contract of executors, which run attempts at jobs, and the executor `local`.

The package may import `worker` and the packages below it. Other executors are packages of their
own, which import it; `settings.executors` loads them. Begin with `base`, the contract, then
`local`.
"""
