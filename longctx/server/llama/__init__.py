"""What llama-server tells and takes beside OpenAI's API."""
