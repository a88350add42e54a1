"""Interoperation with other projects' formats and tools: VLMEvalKit and lmms-eval."""
