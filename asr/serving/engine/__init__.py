"""The models of a service: a bounded queue, batches, and processes that compute and are replaced if they die."""
