ALTER TABLE "TodoItem" DROP COLUMN "stars";

ALTER TABLE "TodoItem" DROP COLUMN "place";
