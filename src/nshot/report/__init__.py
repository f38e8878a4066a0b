"""From records to what people read: terminal, Markdown, HTML. Pure functions; nothing here computes a statistic."""
