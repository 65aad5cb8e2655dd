<?php
// The routes of routers.rs, for a function that adds one to a router: path, methods or none for all, handler, and what a
// parameter must be like.
return function ($add) {
    $add('/', ['GET'], 'root');
    $add('/health', ['GET'], 'health');
    $add('/docs', ['POST'], 'docs.create');
    $add('/docs/{id}', ['GET'], 'docs.get');
    $add('/docs/{id}', ['PUT', 'PATCH'], 'docs.update');
    $add('/docs/{id}', ['DELETE'], 'docs.delete');
    $add('/admin/users', ['GET'], 'admin');
    $add('/admin/{rest}', [], 'admin', ['rest' => '.*']);
    $add('/search', ['GET', 'POST'], 'search');
    $add('/orgs/{org}/x', [], 'orgs');
    $add('/public/{name}', ['DELETE'], 'public.delete');
    $add('/public/{rest}', ['GET'], 'public.get', ['rest' => '.*']);
    $add('/typed', ['GET'], 'typed');
};
