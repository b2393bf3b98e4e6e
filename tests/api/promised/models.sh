curl https://your-domain.com/api/v1/models \
-H "Authorization: Bearer YOUR_API_KEY"
