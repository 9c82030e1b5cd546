"""OpenAI's Responses: items in, items out, and conversations that the server keeps."""
