CREATE TABLE "TodoItem" (
    "id" TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535, substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1), substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    "__updatedAt" TEXT,
    "__version" TEXT,
    "__deleted" BOOLEAN NOT NULL DEFAULT 0,
    "text" TEXT NOT NULL,
    "complete" BOOLEAN NOT NULL,
    "dueAt" TEXT
);
