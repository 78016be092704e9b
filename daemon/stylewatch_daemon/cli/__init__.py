"""The `stylewatch` command, with a module for each group of commands.

The package may import everything except the modules that change jobs (`jobs`, `intake.claim`,
`ledger.writer`): a command decides nothing, but asks the daemon through `client`. Begin with
`main`, then `options`.
"""
