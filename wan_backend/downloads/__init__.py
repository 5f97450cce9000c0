"""What is fetched from the Hugging Face hub, when a person asks for it.

`python -m wan_backend.downloads` is the process that does it.

model_download    fetches a model, a LoRA or a tiny autoencoder
contents          which files are to be fetched, from where and to where
hub_listing       what the hub has of a model
hub_stream        one file from the hub, resumed in the middle
cache_notes       what is noted beside the Hugging Face cache
network_settings  proxies and certificates of the environment
problems          what goes wrong, as sentences with buttons
"""
