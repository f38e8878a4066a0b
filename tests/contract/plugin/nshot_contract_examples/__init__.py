"""Example methods that keep the contract from being shaped by one task; installed by the entry points beside this."""
