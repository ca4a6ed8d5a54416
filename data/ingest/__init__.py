"""Write records into shards, with a manifest that counts them."""
