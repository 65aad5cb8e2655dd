module latchkey/documents

go 1.24
