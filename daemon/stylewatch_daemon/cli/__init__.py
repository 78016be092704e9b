"""The `stylewatch` command, with a module for each group of commands.

It may import everything except the modules that change jobs (`jobs`, `intake.claim`,
`ledger.writer`): a command asks the daemon through `client`, and decides nothing. Begin with
`main`, then `options`.
"""
