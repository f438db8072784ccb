"""How each API spells its requests and answers. Nothing else knows these spellings."""
