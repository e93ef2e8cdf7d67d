-- Results of a sweep that nobody chose yet: they start nothing, and are not the newest of their name.
ALTER TABLE artifacts ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
