DROP TABLE "TodoItem";
