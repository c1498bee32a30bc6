DROP TABLE "Tag";

DROP INDEX "item by note";

ALTER TABLE "Item" DROP COLUMN "note";
