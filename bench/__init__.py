"""The benchmark: Switchyard against a bare proxy, on the same core, in the same run."""
