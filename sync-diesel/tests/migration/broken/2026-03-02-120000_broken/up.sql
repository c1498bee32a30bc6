-- Much is done before the mistake.
UPDATE "TodoItem" SET "text" = 'lost';
DELETE FROM "TodoItem" WHERE "id" = 'queued';
ALTER TABLE "TodoItem" ADD COLUMN "place" TEXT;
CREATE TABLE "other" ("id" INTEGER);
ALTER TABLE "nowhere" ADD COLUMN "stars" INTEGER;
