module differential

go 1.24

require github.com/graphql-go/graphql v0.8.1

require latchkey/documents v0.0.0

require github.com/graphql-go/handler v0.2.4

replace latchkey/documents => ../documents
