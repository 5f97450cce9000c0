"""The models: which there are, where their files lie, and what each would do for a request.

catalogue        catalogue.toml as frozen dataclasses
sources          where a model is on this machine: a whole folder, or its parts in several places
files            single files: what each is, and models put together of them
wholeness        whether a model's folder has every file, whole
sizes            sizes that a model can do
planning         a request and a model become a Plan
memory_estimate  how much of a device's memory a take needs
media_place      whether a take can be written where it is to go
download         fetching a model, only when a person asked for it; download_order says which files, hub_listing asks
                 the hub, hub_cache lays them on the disk, fetch is the process that does it for the server

These import no torch: the server answers with them at once. The loader (with places, single_file, file_tensors,
half_copies) and the memory plan, beside them here, belong to the worker.
"""
