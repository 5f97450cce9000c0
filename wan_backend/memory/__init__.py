"""What a take needs of a device's memory, and where each component sits so that it fits.

needs           bytes of each component's weights, and of the work of each phase
residency_plan  where each component sits during a job, so that its peak fits
forecast        that plan before anything is loaded, and in words
fallbacks       the next smaller plan, after one ran out of memory
history         which plans ran out of memory on this machine
idle            what a worker without a job may hold, and when it lets go
training_needs  what a training needs, and which way it fits
spilled         notices that a card's memory ran over into the machine's
"""
