"""Operations on many VMs: what one would do, the confirmed ones, and what brings them to their end."""
