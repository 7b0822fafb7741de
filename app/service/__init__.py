"""The service: releases answered over HTTP, with a demo beside it. Torch-free."""
