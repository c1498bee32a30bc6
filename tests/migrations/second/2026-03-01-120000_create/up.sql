CREATE TABLE "Item" (
    "id" TEXT PRIMARY KEY NOT NULL,
    "__updatedAt" TEXT,
    "__version" TEXT,
    "__deleted" BOOLEAN NOT NULL DEFAULT 0,
    "text" TEXT NOT NULL,
    "rank" BIGINT NOT NULL
);
