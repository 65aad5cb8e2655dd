module differential

go 1.25.0

require github.com/graph-gophers/graphql-go v1.11.0

require latchkey/documents v0.0.0

replace latchkey/documents => ../documents
