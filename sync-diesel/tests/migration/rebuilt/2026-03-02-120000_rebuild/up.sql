-- As written by hand: a rebuild, which would delete every row under capture.
CREATE TABLE "new" (
    "id" TEXT PRIMARY KEY NOT NULL,
    "__updatedAt" TEXT,
    "__version" TEXT,
    "__deleted" BOOLEAN NOT NULL DEFAULT 0,
    "text" TEXT NOT NULL,
    "complete" BOOLEAN NOT NULL,
    "dueAt" TEXT,
    "place" TEXT,
    "stars" INTEGER NOT NULL DEFAULT 3
);
INSERT INTO "new" ("id", "__updatedAt", "__version", "__deleted", "text", "complete", "dueAt")
SELECT "id", "__updatedAt", "__version", "__deleted", "text", "complete", "dueAt" FROM "TodoItem";
DELETE FROM "TodoItem";
DROP TABLE "TodoItem";
ALTER TABLE "new" RENAME TO "TodoItem";
