ALTER TABLE "Item" ADD COLUMN "note" TEXT;

CREATE INDEX "item by note" ON "Item" ("note");

CREATE TABLE "Tag" (
    "id" TEXT PRIMARY KEY NOT NULL,
    "__updatedAt" TEXT,
    "__version" TEXT,
    "__deleted" BOOLEAN NOT NULL DEFAULT 0,
    "text" TEXT NOT NULL
);
