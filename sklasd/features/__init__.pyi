from ._log_mel import LogMel as LogMel
